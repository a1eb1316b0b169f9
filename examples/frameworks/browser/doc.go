// Package browser tests in Chromium what only a browser can tell: that it takes
// the cookies that Bulla sets, keeps them from scripts and other sites, and
// gives them up on logout.
package browser
