// Package gothtest has a test alone: goth's logins with their sessions in Bulla. It is a
// module of its own, so that gorillastore does not depend on goth.
package gothtest
