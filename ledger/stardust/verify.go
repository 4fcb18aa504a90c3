package stardust

import "github.com/hdevalence/ed25519consensus"

// signature is one to check; good tells what came of it.
type signature struct {
	key, message, sig []byte // key of 32 bytes, sig of 64
	good              *bool
}

// batchSize is where a larger batch gains little: one bad signature makes all of its batch be split.
const batchSize = 64

// verify checks signatures by the rules of ZIP-215, which alone make a batch agree with its parts. Each of them
// starts as not good.
func verify(todo []signature) {
	for len(todo) > 0 {
		n := min(len(todo), batchSize)
		if batch := todo[:n]; allGood(batch) {
			mark(batch)
		} else {
			split(batch)
		}
		todo = todo[n:]
	}
}

func allGood(all []signature) bool {
	if len(all) == 1 {
		return ed25519consensus.Verify(all[0].key, all[0].message, all[0].sig)
	}
	v := ed25519consensus.NewPreallocatedBatchVerifier(len(all))
	for i := range all {
		v.Add(all[i].key, all[i].message, all[i].sig)
	}
	return v.Verify()
}

func mark(all []signature) {
	for i := range all {
		*all[i].good = true
	}
}

// split halves a batch with a bad signature in it until that is found.
func split(all []signature) {
	if len(all) == 1 {
		return
	}
	for _, half := range [][]signature{all[:len(all)/2], all[len(all)/2:]} {
		if allGood(half) {
			mark(half)
		} else {
			split(half)
		}
	}
}
