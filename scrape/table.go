package scrape

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxLabel is the longest value of a label, in bytes.
const maxLabel = 128

// Kind says how a metric's values relate.
type Kind uint8

// The kinds. A counter only grows, until its process starts anew.
const (
	Counter Kind = iota + 1
	Gauge
)

// String returns the kind's name in the exposition format.
func (k Kind) String() string {
	switch k {
	case Counter:
		return "counter"
	case Gauge:
		return "gauge"
	}
	return "untyped"
}

func (k Kind) value() prometheus.ValueType {
	switch k {
	case Counter:
		return prometheus.CounterValue
	case Gauge:
		return prometheus.GaugeValue
	}
	return prometheus.UntypedValue
}

// Metric is a metric of a state of type S.
type Metric[S any] struct {
	Name, Help string
	Kind       Kind
	Labels     []string
	// Values puts the values that the metric has in a state, one for each set of the labels' values.
	Values func(s S, put Put)
}

// Put takes a value and the values of its labels, in the order of the metric's.
type Put func(value float64, labels ...string)

// Table holds a state's metrics.
type Table[S any] []Metric[S]

// Bool is the value of what holds or doesn't.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Time is the value of a moment, in seconds since 1970.
func Time(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Of returns a collector of what a table finds in a state.
func Of[S any](table Table[S], state S) prometheus.Collector { return found[S]{table, state} }

type found[S any] struct {
	table Table[S]
	state S
}

func (m Metric[S]) desc() *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }

func (f found[S]) Describe(out chan<- *prometheus.Desc) {
	for _, m := range f.table {
		out <- m.desc()
	}
}

func (f found[S]) Collect(out chan<- prometheus.Metric) {
	for _, m := range f.table {
		desc := m.desc()
		m.Values(f.state, func(value float64, labels ...string) {
			metric, err := prometheus.NewConstMetric(desc, m.Kind.value(), value, clean(labels)...)
			if err != nil {
				metric = prometheus.NewInvalidMetric(desc, err)
			}
			out <- metric
		})
	}
}

// clean returns values that the exposition format can hold. Some come from other programs, such as a switch's version.
func clean(labels []string) []string {
	out := make([]string, len(labels))
	for i, l := range labels {
		out[i] = strings.ToValidUTF8(l[:min(len(l), maxLabel)], "")
	}
	return out
}
