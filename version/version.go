// Package version says which build of weft this is.
package version

// Version is set when the binaries are linked; a plain go build leaves "dev".
var Version = "dev"
