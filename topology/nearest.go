package topology

import (
	"fmt"
	"strings"
)

// didYouMean returns `, did you mean "x"?` with the candidate nearest to what was written, or an empty
// text when none is near. Equally near candidates: the first one.
func didYouMean(written string, candidates []string) string {
	limit := 1 + len(written)/4
	best, nearest := limit+1, ""
	for _, c := range candidates {
		if d := distance(strings.ToLower(written), strings.ToLower(c), limit); d < best {
			best, nearest = d, c
		}
	}
	if nearest == "" || len(written) > 2*maxNamed {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", nearest)
}

// maxNamed is the number of candidates that oneOf lists, and a bound on what is worth comparing.
const maxNamed = 100

// distance returns the edit distance of a and b (insert, delete, replace), or limit+1 when it is larger.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal, least := row[0], i+1
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], cost
			least = min(least, cost)
		}
		if least > limit {
			return limit + 1
		}
	}
	return row[len(b)]
}

// oneOf lists what may be written: "a, b or c".
func oneOf[T ~string](names []T) string {
	switch len(names) {
	case 0:
		return "nothing"
	case 1:
		return string(names[0])
	}
	var b strings.Builder
	for i, n := range names {
		switch i {
		case 0:
		case len(names) - 1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}
