package paths

// Large probes look whether a path carries what it should, and if not, how much it does carry.
//
// A size is too large once some probes of it in a row have stayed without an answer, since any packet can be lost. Then a
// binary search finds to the byte what passes: over the largest range that there is in 17 steps of 1.2 s for what passes and
// 3.6 s for what doesn't. What it found is believed once as many probes of one byte more have been lost again, so a path
// that loses one packet in ten is called narrow once in 10^6 searches. From then on the size, one byte more and the full
// size are tried by turns, because paths change.

const (
	// smallestSize is the least that is searched for: what every host of IPv4 takes (RFC 791, section 3.1).
	smallestSize = 576
	// largeTries probes of one size in a row are lost before it counts as too large.
	largeTries = 3
	// largeEvery and searchEvery are the numbers of probes of which one is large: when the size is known, and else.
	largeEvery  = 32
	searchEvery = 4
)

// stage is what large probes are about.
type stage uint8

const (
	full    stage = iota + 1 // the full size passes, or nothing else is known
	search                   // for the largest that passes: low does, high doesn't
	confirm                  // that low is all that passes
	narrow                   // low is all that passes
)

// sizes is what large probes have found out. Its verdict changes only when it is sure of another.
type sizes struct {
	full int // what should pass
	// passes and narrow are the verdict: the largest size that passes, 0 for none that is known of, and whether larger ones don't.
	passes int
	narrow bool

	stage     stage
	low, high int
	next      int // size of the next large probe
	lost      int // of that size, in a row
	turn      int // of what is tried in the stage narrow
	pause     int // small probes until then
}

func newSizes(mtu int) sizes { return sizes{full: mtu, stage: full, next: mtu, pause: 1} }

// size returns how large the next probe should be; 0 for a small one.
func (s *sizes) size() int {
	if s.pause > 0 {
		s.pause--
		return 0
	}
	s.pause = s.every() - 1
	return s.next
}

func (s *sizes) every() int {
	if s.stage == search || s.stage == confirm || s.lost > 0 {
		return searchEvery
	}
	return largeEvery
}

// answered notes that a large probe has passed, and reports whether the verdict changed.
func (s *sizes) answered(size int) (changed bool) {
	if size != s.next {
		return false // of a search before
	}
	s.lost = 0
	switch {
	case size == s.full:
		s.stage = full
		changed = s.verdict(size, false)
	case s.stage == narrow && size == s.low:
	default: // more passes than was known
		if s.stage != search {
			s.stage, s.high = search, s.full+1
		}
		s.low = size
	}
	s.advance()
	return changed
}

// missed notes that a large probe has stayed without an answer, and reports whether the verdict changed.
func (s *sizes) missed(size int) (changed bool) {
	if size != s.next {
		return false
	}
	if s.lost++; s.lost < largeTries && (s.stage != narrow || size == s.low) {
		s.pause = min(s.pause, searchEvery-1)
		return false
	}
	s.lost = 0
	switch s.stage {
	case full:
		s.stage, s.low, s.high = search, smallestSize-1, s.full
	case search:
		s.high = size
	case confirm:
		s.stage = narrow
		changed = s.verdict(s.low, true)
	case narrow:
		if size == s.low { // the path carries less than it did
			s.stage, s.low, s.high = search, smallestSize-1, size
		}
	}
	s.advance()
	return changed
}

// forget leaves out what was lost because nothing passed at all.
func (s *sizes) forget() { s.lost = 0 }

// advance chooses the next size.
func (s *sizes) advance() {
	if s.stage == search && s.high == s.low+1 {
		s.stage = confirm
	}
	switch s.stage {
	case full:
		s.next = s.full
	case search:
		s.next = s.low + (s.high-s.low)/2
	case confirm:
		s.next = s.low + 1
	case narrow:
		choices := []int{s.low + 1, s.full, s.low}
		if s.low < smallestSize {
			choices = choices[:2]
		}
		s.turn++
		s.next = choices[s.turn%len(choices)]
	}
	s.pause = min(s.pause, s.every()-1)
}

func (s *sizes) verdict(passes int, isNarrow bool) (changed bool) {
	if passes < smallestSize {
		passes = 0
	}
	changed = s.narrow != isNarrow || isNarrow && s.passes != passes
	s.passes, s.narrow = passes, isNarrow
	return changed
}
