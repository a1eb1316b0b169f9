// Package moving is empty: its tests hold the readers of interop/scs and interop/gorilla
// to the libraries themselves. The folders beside it are applications that moved.
package moving
