package verify

// exceptions are cubes whose packets are not in a set. Copies share what they had in common, and each adds its own.
type exceptions struct {
	own   []cube
	block *block
	count int
}

// block is a list of cubes that nobody changes any more.
type block struct {
	cubes []cube
	prev  *block
}

// add adds one.
func (e *exceptions) add(c cube) {
	e.own = append(e.own, c)
	e.count++
}

// share makes e ready to be copied.
func (e *exceptions) share() {
	if len(e.own) > 0 {
		e.block, e.own = &block{e.own, e.block}, nil
	}
}

// all yields the cubes, the newest block first.
func (e *exceptions) all(yield func(cube) bool) {
	for _, c := range e.own {
		if !yield(c) {
			return
		}
	}
	for b := e.block; b != nil; b = b.prev {
		for _, c := range b.cubes {
			if !yield(c) {
				return
			}
		}
	}
}
