package verify

// knowledge is what is known of a variable's bits.
type knowledge struct{ value, known word }

const (
	pageBits = 3
	pageSize = 1 << pageBits
	// maxPages has room for the fields, and for what the connection tracker answers to maxLookups questions.
	maxPages = (fieldCount + 2*(maxLookups+1) + pageSize - 1) / pageSize
)

// beliefs are what is known of all variables. Copies share the pages until one of them learns something.
type beliefs struct {
	pages [maxPages]*[pageSize]knowledge
	own   uint32 // bit i: nobody shares pages[i]
	count int
}

// newBeliefs returns beliefs that know nothing of so many variables.
func newBeliefs(variables int) beliefs {
	blank := new([pageSize]knowledge)
	b := beliefs{count: variables}
	for i := range b.pages {
		b.pages[i] = blank
	}
	return b
}

// of returns what is known of a variable, to be read only.
func (b *beliefs) of(v variable) *knowledge { return &b.pages[v>>pageBits][v&(pageSize-1)] }

// change returns what is known of a variable, to be written.
func (b *beliefs) change(v variable) *knowledge {
	i := v >> pageBits
	if b.own&(1<<i) == 0 {
		page := *b.pages[i]
		b.pages[i] = &page
		b.own |= 1 << i
	}
	return &b.pages[i][v&(pageSize-1)]
}

// more makes a variable of which nothing is known.
func (b *beliefs) more() variable {
	v := variable(b.count)
	b.count++
	*b.change(v) = knowledge{}
	return v
}
