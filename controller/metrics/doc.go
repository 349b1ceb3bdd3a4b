// Package metrics says what Prometheus reads of a controller: names, meanings, and where in the controller's measurements each
// value is. It is a table and nothing else: the controller measures, package scrape answers. docs/metrics.md shows the table to
// operators, and a test holds the two together.
//
// The fabric's nodes are counted and not named: each tells of itself at its agent's endpoint. So the number of a controller's
// metrics is the same for three nodes and for five thousand.
package metrics
