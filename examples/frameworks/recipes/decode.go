package recipes

import (
	"errors"

	"github.com/bulla-go/bulla/sessions"
)

// Settings was a string once, the name of a theme.
type Settings struct {
	Theme string
	Large bool
}

const (
	settings    = sessions.Key[Settings]("settings/2") // a new name for a new type
	oldSettings = sessions.Key[string]("settings")
)

// SettingsOf returns a user's settings, also those that an earlier version has stored.
func SettingsOf(s *sessions.Session) (Settings, error) {
	v, err := settings.Get(s)
	if !errors.Is(err, sessions.ErrNoValue) {
		return v, err
	}
	theme, err := oldSettings.GetOr(s, "light")
	return Settings{Theme: theme}, err
}

// SetSettings stores them in the new form.
func SetSettings(s *sessions.Session, v Settings) error {
	if err := settings.Set(s, v); err != nil {
		return err
	}
	return oldSettings.Delete(s)
}

// count was a string once, too, under the name that it has still.
const count = sessions.Key[int]("count")

// Count returns a number, or 0 where an earlier version has stored something else.
func Count(s *sessions.Session) (int, error) {
	n, err := count.GetOr(s, 0)
	if errors.Is(err, sessions.ErrDecode) {
		return 0, count.Delete(s) // gone on purpose; the error says the key's name and type
	}
	return n, err
}
