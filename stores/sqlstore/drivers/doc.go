// Package drivers tests package sqlstore with real databases and their drivers. It is a
// module of its own, so that who uses Bulla does not inherit the drivers.
package drivers
