package rebased

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"permanode/ledger"
)

// The numbers of the portable Roaring format.
const (
	roaringArrays    = 12346 // cookie: no run containers
	roaringRuns      = 12347 // low half of the cookie where there are run containers
	roaringMaxArray  = 4096  // a container with more values is a bitset
	roaringBitset    = 8192  // bytes of a bitset
	roaringNoOffsets = 4     // with runs and fewer containers there is no table of offsets
)

// ParseSigners reads the signer bitmap of a certificate (spec 11): a Roaring bitmap in the portable format, all of
// raw. It returns the indices, ascending, each below size, the number of committee members: so allocation is
// bounded by size, whatever raw claims. Errors wrap [ledger.ErrSyntax].
func ParseSigners(raw []byte, size int) ([]int, error) {
	r := roaring{raw: raw, size: size}
	if err := r.read(); err != nil {
		return nil, fmt.Errorf("%w signer bitmap: %w", ledger.ErrSyntax, err)
	}
	return r.out, nil
}

// roaring reads one bitmap.
type roaring struct {
	raw  []byte
	off  int
	size int
	out  []int
}

// container is the description of one container: values whose high 16 bits are equal.
type container struct {
	key   uint16
	count int // of its values
	run   bool
}

func (r *roaring) take(n int) ([]byte, error) {
	if len(r.raw)-r.off < n {
		return nil, fmt.Errorf("ends at byte %d, %d more are needed", len(r.raw), n-(len(r.raw)-r.off))
	}
	b := r.raw[r.off : r.off+n]
	r.off += n
	return b, nil
}

func (r *roaring) read() error {
	list, offsets, err := r.header()
	if err != nil {
		return err
	}
	for i, c := range list {
		if offsets != nil && binary.LittleEndian.Uint32(offsets[4*i:]) != uint32(r.off) {
			return fmt.Errorf("container %d does not begin at byte %d, where it must", i, r.off)
		}
		switch {
		case c.run:
			err = r.runs(c)
		case c.count > roaringMaxArray:
			err = r.bitset(c)
		default:
			err = r.array(c)
		}
		if err != nil {
			return err
		}
	}
	if r.off != len(r.raw) {
		return fmt.Errorf("%d bytes follow its end", len(r.raw)-r.off)
	}
	return nil
}

// header reads the descriptions of the containers and their offsets, nil where the format has none.
func (r *roaring) header() (list []container, offsets []byte, err error) {
	b, err := r.take(4)
	if err != nil {
		return nil, nil, err
	}
	cookie, n, flags := binary.LittleEndian.Uint32(b), uint32(0), []byte(nil)
	switch {
	case cookie == roaringArrays:
		if b, err = r.take(4); err != nil {
			return nil, nil, err
		}
		n = binary.LittleEndian.Uint32(b)
	case cookie&0xffff == roaringRuns:
		n = cookie>>16 + 1
		if flags, err = r.take(int(n+7) / 8); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf("cookie %d is not known", cookie)
	}
	if n > 1<<16 {
		return nil, nil, fmt.Errorf("%d containers", n)
	}
	if b, err = r.take(4 * int(n)); err != nil {
		return nil, nil, err
	}
	for i := range int(n) {
		c := container{
			key: binary.LittleEndian.Uint16(b[4*i:]), count: int(binary.LittleEndian.Uint16(b[4*i+2:])) + 1,
			run: flags != nil && flags[i/8]>>(i%8)&1 == 1,
		}
		if i > 0 && c.key <= list[i-1].key {
			return nil, nil, fmt.Errorf("container keys %d, %d do not ascend", list[i-1].key, c.key)
		}
		list = append(list, c)
	}
	if flags == nil || n >= roaringNoOffsets {
		offsets, err = r.take(4 * int(n))
	}
	return list, offsets, err
}

// add takes the next value, which must lie behind the last one.
func (r *roaring) add(key, low uint16) error {
	v := int(key)<<16 | int(low)
	if n := len(r.out); n > 0 && r.out[n-1] >= v {
		return fmt.Errorf("index %d stands behind %d", v, r.out[n-1])
	}
	if v >= r.size {
		return fmt.Errorf("index %d in a committee of %d", v, r.size)
	}
	r.out = append(r.out, v)
	return nil
}

func (r *roaring) array(c container) error {
	b, err := r.take(2 * c.count)
	if err != nil {
		return err
	}
	for ; len(b) > 0; b = b[2:] {
		if err := r.add(c.key, binary.LittleEndian.Uint16(b)); err != nil {
			return err
		}
	}
	return nil
}

func (r *roaring) bitset(c container) error {
	b, err := r.take(roaringBitset)
	if err != nil {
		return err
	}
	before := len(r.out)
	for i := 0; i < roaringBitset; i += 8 {
		for w := binary.LittleEndian.Uint64(b[i:]); w != 0; w &= w - 1 {
			if err := r.add(c.key, uint16(i*8+bits.TrailingZeros64(w))); err != nil {
				return err
			}
		}
	}
	if got := len(r.out) - before; got != c.count {
		return fmt.Errorf("a bitset of %d values claims %d", got, c.count)
	}
	return nil
}

func (r *roaring) runs(c container) error {
	b, err := r.take(2)
	if err != nil {
		return err
	}
	if b, err = r.take(4 * int(binary.LittleEndian.Uint16(b))); err != nil {
		return err
	}
	before := len(r.out)
	for ; len(b) > 0; b = b[4:] {
		first, more := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
		if first+more > 0xffff {
			return fmt.Errorf("a run from %d has %d values", first, more+1)
		}
		for v := first; v <= first+more; v++ {
			if err := r.add(c.key, uint16(v)); err != nil {
				return err
			}
		}
	}
	if got := len(r.out) - before; got != c.count {
		return fmt.Errorf("runs of %d values claim %d", got, c.count)
	}
	return nil
}

// AppendSigners appends the bitmap of indices, ascending and below 65,536, in the one form that nodes write.
func AppendSigners(dst []byte, indices []int) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, roaringArrays)
	if len(indices) == 0 {
		return le.AppendUint32(dst, 0)
	}
	dst = le.AppendUint32(dst, 1)
	dst = le.AppendUint16(dst, 0)
	dst = le.AppendUint16(dst, uint16(len(indices)-1))
	dst = le.AppendUint32(dst, 16)
	if len(indices) > roaringMaxArray {
		set := make([]byte, roaringBitset)
		for _, v := range indices {
			set[v/8] |= 1 << (v % 8)
		}
		return append(dst, set...)
	}
	for _, v := range indices {
		dst = le.AppendUint16(dst, uint16(v))
	}
	return dst
}
