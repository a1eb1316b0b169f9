package bulla

// Must returns v, and panics with err where there is one. It is for the lines in which a
// program is wired, as template.Must is: a configuration that can't work ends the program
// before it serves anybody. It is not for handlers, which return their errors.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
