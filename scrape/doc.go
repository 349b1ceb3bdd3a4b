// Package scrape lets Prometheus read what a process knows of itself: tables of metrics whose values are taken from a state
// at the moment of the scrape, and the HTTP endpoint that answers with them.
//
// What always holds: nothing listens unless an address was given, everything is bounded in number and in time, and reading the
// state costs it at most one question a second, however many ask. What the metrics mean is said in the tables of
// agent/metrics and controller/metrics; this package knows none, and imports nothing of weft.
package scrape
