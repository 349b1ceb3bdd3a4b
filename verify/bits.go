package verify

import (
	"math/bits"

	"github.com/weftfabric/weft/wire/openflow"
)

// word is the value or the mask of a field.
type word = openflow.Value

func num(v uint64) word { return word{Lo: v} }

func not(v word) word   { return word{Hi: ^v.Hi, Lo: ^v.Lo} }
func or(a, b word) word { return word{Hi: a.Hi | b.Hi, Lo: a.Lo | b.Lo} }
func xor(a, b word) word {
	return word{Hi: a.Hi ^ b.Hi, Lo: a.Lo ^ b.Lo}
}
func without(a, b word) word { return word{Hi: a.Hi &^ b.Hi, Lo: a.Lo &^ b.Lo} }

// shift moves v by n bits to the left, or to the right if n is negative.
func shift(v word, n int) word {
	switch {
	case n == 0:
		return v
	case n >= 128 || n <= -128:
		return word{}
	case n >= 64:
		return word{Hi: v.Lo << (n - 64)}
	case n > 0:
		return word{Hi: v.Hi<<n | v.Lo>>(64-n), Lo: v.Lo << n}
	case n <= -64:
		return word{Lo: v.Hi >> (-n - 64)}
	}
	return word{Hi: v.Hi >> -n, Lo: v.Lo>>-n | v.Hi<<(64+n)}
}

// ones returns the word whose lower n bits are set.
func ones(n int) word {
	if n >= 128 {
		return word{Hi: ^uint64(0), Lo: ^uint64(0)}
	}
	return without(word{Hi: ^uint64(0), Lo: ^uint64(0)}, shift(word{Hi: ^uint64(0), Lo: ^uint64(0)}, n))
}

func count(v word) int { return bits.OnesCount64(v.Hi) + bits.OnesCount64(v.Lo) }

// top returns the highest bit of v alone.
func top(v word) word {
	if v.Hi != 0 {
		return word{Hi: 1 << (63 - bits.LeadingZeros64(v.Hi))}
	}
	if v.Lo == 0 {
		return word{}
	}
	return word{Lo: 1 << (63 - bits.LeadingZeros64(v.Lo))}
}
