// Package edit computes what a request changes: from the View that a request meets, to the Batch that would
// carry it out. It is pure; the caller commits the Batch, or only shows it.
//
// Every function either returns a whole Batch or none: a request with one error in it changes nothing.
package edit
