// Package interoptest has what the tests of the packages about other systems' sessions
// share: the vectors that the real Python libraries wrote, and Python programs.
package interoptest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Vectors are what the Python libraries wrote, with the keys and what the session
// holds.
type Vectors struct {
	Starsessions []Vector `json:"starsessions"`
	Others       []Vector `json:"others"`
}

// Vector is one of them; a field that does not apply is empty.
type Vector struct {
	Name       string         `json:"name"`
	Lifetime   int            `json:"lifetime"`
	SetCookie  string         `json:"set_cookie"`
	Cookie     string         `json:"cookie"`
	Deletion   string         `json:"deletion"`
	Session    map[string]any `json:"session"`
	Store      string         `json:"store"`
	Encryptor  string         `json:"encryptor"`
	SecretKey  string         `json:"secret_key"`
	KeyB64URL  string         `json:"key_b64url"`
	KeyB64     string         `json:"key_b64"`
	KeyText    string         `json:"key_text"`
	RedisKey   string         `json:"redis_key"`
	RedisB64   string         `json:"redis_value_b64"`
	RedisValue string         `json:"redis_value"`
	RedisTTL   int            `json:"redis_ttl"`
	MaxAge     *int           `json:"max_age"`
	Salt       string         `json:"salt"`
	Text       string         `json:"text"`
	Value      string         `json:"value"`
	Payload    map[string]any `json:"payload"`
}

// Read returns the vectors.
func Read(t testing.TB) Vectors {
	t.Helper()
	data, err := os.ReadFile(Dir("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v Vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Starsessions) != 9 || len(v.Others) != 11 {
		t.Fatalf("%d and %d vectors, want 9 and 11", len(v.Starsessions), len(v.Others))
	}
	return v
}

// Named returns the others that have this name.
func (v Vectors) Named(t testing.TB, name string) (list []Vector) {
	t.Helper()
	for _, one := range v.Others {
		if one.Name == name {
			list = append(list, one)
		}
	}
	if len(list) == 0 {
		t.Fatalf("no vector %q", name)
	}
	return list
}

// Dir returns a path below the folder interop of this module.
func Dir(path ...string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(append([]string{filepath.Dir(file), "..", ".."}, path...)...)
}
