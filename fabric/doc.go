// Package fabric is weft's vocabulary: the small value types that every other package shares.
//
// Every type here is a value: comparable, without hidden state, and valid only when it was made by its
// parser or constructor. The zero value of each type means "none" and is never a valid name, address or
// number. The package imports the standard library only.
package fabric
