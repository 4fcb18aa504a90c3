package pebblestore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"permanode/ledger"
)

// The tables. All integers in keys are big endian; net is one byte.
const (
	tabFormat   = 'V' // V                       -> format version
	tabNetwork  = 'N' // N net                   -> name, era, identity, trust file, what it follows
	tabSpan     = 'C' // C net lo                -> hi, how it was opened, sum of the opening state
	tabGap      = 'G' // G net from              -> to, reason
	tabUnit     = 'U' // U net seq               -> id, previous id, time, header, auth, list, its own moves and postings
	tabManifest = 'M' // M net seq               -> a digest for each part
	tabRecord   = 'R' // R net seq pos           -> record with its parts, moves and postings
	tabPosting  = 'P' // P net kind key 00 ord   -> role, value; empty: mentioned, no value
	tabBlock    = 'B' // B net kind key 00 level ord -> the block's first place, count, sum; B net 00 lo -> how far blocks are built
	tabStride   = 'A' // A net level first       -> records, bytes, earliest and latest time of 64^level units
	tabState    = 'S' // S net key               -> era state
	tabTime     = 'T' // T net ms seq            -> empty
	tabNote     = 'E' // E net seq id kind source -> note
)

// formatVersion is the version of all that keys.go and values.go define.
const formatVersion = 2

func keyFormat() []byte { return []byte{tabFormat} }

func keyNet(tab byte, net ledger.NetID) []byte { return []byte{tab, byte(net)} }

func keySeq(tab byte, net ledger.NetID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tab, byte(net)}, seq)
}

// appendRecordKey appends R net ord: seq in 5 bytes, pos in 3.
func appendRecordKey(dst []byte, net ledger.NetID, o ledger.Ord) []byte {
	dst = append(dst, tabRecord, byte(net))
	dst, _ = o.AppendBinary(dst)
	return dst
}

// appendPostingPrefix appends P net kind and the escaped beginning of a key, without its end: the
// prefix of all keys of that kind that begin with val.
func appendPostingPrefix(dst []byte, net ledger.NetID, kind ledger.KeyKind, val string) []byte {
	return appendEscaped(append(dst, tabPosting, byte(net), byte(kind)), val)
}

// appendPostingKey appends the whole key of one posting.
func appendPostingKey(dst []byte, net ledger.NetID, k ledger.Key, o ledger.Ord) []byte {
	dst = append(appendPostingPrefix(dst, net, k.Kind, k.Val), 0)
	dst, _ = o.AppendBinary(dst)
	return dst
}

// appendBlockKey appends the key of the block of k that ends at o, of a level from 1.
func appendBlockKey(dst []byte, net ledger.NetID, k ledger.Key, level int, o ledger.Ord) []byte {
	dst = append(dst, tabBlock, byte(net), byte(k.Kind))
	dst = append(appendEscaped(dst, k.Val), 0, byte(level))
	dst, _ = o.AppendBinary(dst)
	return dst
}

// splitBlock reads a block's key behind "B net": kind, key, level, ordinal.
func splitBlock(b []byte) (k ledger.Key, level int, o ledger.Ord, err error) {
	if len(b) < 1+1+1+ledger.OrdLen {
		return k, 0, o, errRow("block key of %d bytes", len(b))
	}
	at := len(b) - ledger.OrdLen - 1
	val, rest, err := unescape(b[1:at])
	if err != nil || len(rest) != 0 || b[at-1] != 0 || b[at] == 0 || b[at] == 0xff || b[0] == 0 {
		return k, 0, o, errRow("block key that does not end in 00, a level and an ordinal")
	}
	return ledger.Key{Kind: ledger.KeyKind(b[0]), Val: string(val)}, int(b[at]), ledger.OrdFrom(b[at+1:]), nil
}

// keyStride is A net level first; level is one byte.
func keyStride(net ledger.NetID, level int, first uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tabStride, byte(net), byte(level)}, first)
}

func splitStride(key []byte) (level int, first uint64, err error) {
	if len(key) != 11 || key[2] < 1 || key[2] > maxStride {
		return 0, 0, errRow("stride key %x", key)
	}
	return int(key[2]), binary.BigEndian.Uint64(key[3:]), nil
}

// keyBuilt is B net 00 lo: no key has the kind 0.
func keyBuilt(net ledger.NetID, lo uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tabBlock, byte(net), 0}, lo)
}

// appendEscaped writes 00 as 00 ff. The end of a key is 00 followed by something below ff: no ordinal
// begins with ff, so end and escape cannot be confused, and the order of keys is kept.
func appendEscaped(dst []byte, val string) []byte {
	for {
		i := strings.IndexByte(val, 0)
		if i < 0 {
			return append(dst, val...)
		}
		dst = append(append(dst, val[:i]...), 0, 0xff)
		val = val[i+1:]
	}
}

// splitPosting reads a posting's key behind "P net": kind, key, ordinal.
func splitPosting(b []byte) (k ledger.Key, o ledger.Ord, err error) {
	if len(b) < 1+1+ledger.OrdLen {
		return k, o, errRow("posting key of %d bytes", len(b))
	}
	k.Kind = ledger.KeyKind(b[0])
	body, tail := b[1:len(b)-ledger.OrdLen], b[len(b)-ledger.OrdLen:]
	if body[len(body)-1] != 0 || tail[0] == 0xff {
		return k, o, errRow("posting key does not end in 00 and an ordinal")
	}
	val, rest, err := unescape(body)
	if err != nil || len(rest) != 0 {
		return k, o, errRow("posting key with a bad escape")
	}
	k.Val = string(val)
	return k, ledger.OrdFrom(tail), nil
}

// unescape reads up to the end of a key and returns what follows it.
func unescape(b []byte) (val, rest []byte, err error) {
	if i := bytes.IndexByte(b, 0); i == len(b)-1 && i >= 0 { // nothing to unescape
		return b[:i], nil, nil
	}
	val = make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == 0 {
			if i+1 == len(b) || b[i+1] != 0xff {
				return val, b[i+1:], nil
			}
			i++
			val = append(val, 0)
			continue
		}
		val = append(val, b[i])
	}
	return nil, nil, errRow("key without an end")
}

func appendStateKey(dst []byte, net ledger.NetID, key []byte) []byte {
	return append(append(dst, tabState, byte(net)), key...)
}

// keyTime is T net ms seq. The sign bit is turned so that times before 1970 sort first.
func keyTime(net ledger.NetID, ms int64, seq uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{tabTime, byte(net)}, uint64(ms)^1<<63)
	return binary.BigEndian.AppendUint64(b, seq)
}

func splitTime(b []byte) (ms int64, seq uint64, err error) {
	if len(b) != 18 {
		return 0, 0, errRow("time key of %d bytes", len(b))
	}
	return int64(binary.BigEndian.Uint64(b[2:]) ^ 1<<63), binary.BigEndian.Uint64(b[10:]), nil
}

// keyNote is E net seq id kind source: one row for what is the same note again.
func keyNote(net ledger.NetID, seq uint64, unit ledger.ID, kind, source string) []byte {
	b := keySeq(tabNote, net, seq)
	b = append(appendEscaped(b, unit.Key()), 0)
	b = append(appendEscaped(b, kind), 0)
	return append(appendEscaped(b, source), 0)
}

// seqOf reads the unit's number from a key "tab net seq".
func seqOf(key []byte) (uint64, error) {
	if len(key) < 10 {
		return 0, errRow("key %x is too short", key)
	}
	return binary.BigEndian.Uint64(key[2:]), nil
}

// after returns the smallest key greater than every key that begins with prefix; nil if there is none.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// keyName writes a key for a person: table, then hex groups.
func keyName(key []byte) string {
	switch {
	case len(key) == 0:
		return "pebble (no key)"
	case len(key) == 1:
		return fmt.Sprintf("pebble %c", key[0])
	case len(key) == 2:
		return fmt.Sprintf("pebble %c/%02x", key[0], key[1])
	}
	return fmt.Sprintf("pebble %c/%02x/%x", key[0], key[1], key[2:])
}
