// Package bench measures weft beside a peer or a limit, both in the same run, and prints tables with their
// ratios. docs/performance.md says what is measured, and keeps results.
//
// It holds tests only. A Benchmark measures one subject at its full size; a Test of the same name runs the same
// code at a tiny size, to prove that it works: timings never decide a test's result.
package bench
