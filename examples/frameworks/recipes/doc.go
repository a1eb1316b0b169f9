// Package recipes is the code of docs/recipes.md, one recipe a file. Its tests run it
// over HTTP; those of package browser run in Chromium what only a browser can tell.
package recipes
