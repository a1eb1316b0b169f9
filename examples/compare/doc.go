// Package compare has three small applications, each written with Bulla, with
// alexedwards/scs and with gorilla/sessions. One test drives all, and one counts them;
// README.md has the numbers.
package compare
