package ledger

import (
	"errors"
	"math/big"
	"math/bits"
)

// Amount is an exact signed integer of any length: a number of coins or tokens. The zero value
// is 0. Amounts are values; no method changes one.
type Amount struct {
	neg bool
	lo  uint64
	big *big.Int // magnitude; set only where it does not fit lo
}

// Coins returns v as an amount.
func Coins(v uint64) Amount { return Amount{lo: v} }

// BigAmount returns the value of v, which it copies.
func BigAmount(v *big.Int) Amount {
	if v.IsUint64() {
		return Amount{lo: v.Uint64()}
	}
	mag := new(big.Int).Abs(v)
	if mag.IsUint64() {
		return Amount{neg: true, lo: mag.Uint64()}
	}
	return Amount{neg: v.Sign() < 0, big: mag}
}

// Big returns a as a new integer.
func (a Amount) Big() *big.Int {
	v := new(big.Int)
	if a.big != nil {
		v.Set(a.big)
	} else {
		v.SetUint64(a.lo)
	}
	if a.neg {
		v.Neg(v)
	}
	return v
}

// Add returns a + b.
func (a Amount) Add(b Amount) Amount {
	if a.big == nil && b.big == nil {
		if a.neg == b.neg {
			if sum, carry := bits.Add64(a.lo, b.lo, 0); carry == 0 {
				return Amount{neg: a.neg && sum != 0, lo: sum}
			}
		} else if a.lo >= b.lo {
			return Amount{neg: a.neg && a.lo != b.lo, lo: a.lo - b.lo}
		} else {
			return Amount{neg: b.neg, lo: b.lo - a.lo}
		}
	}
	return BigAmount(new(big.Int).Add(a.Big(), b.Big()))
}

// Neg returns -a.
func (a Amount) Neg() Amount {
	a.neg = !a.neg && (a.big != nil || a.lo != 0)
	return a
}

// Sign returns -1, 0 or 1.
func (a Amount) Sign() int {
	switch {
	case a.neg:
		return -1
	case a.big == nil && a.lo == 0:
		return 0
	}
	return 1
}

// Equal reports whether a and b are the same number.
func (a Amount) Equal(b Amount) bool {
	return a.neg == b.neg && a.lo == b.lo && (a.big == nil) == (b.big == nil) && (a.big == nil || a.big.Cmp(b.big) == 0)
}

// String returns decimal digits, with a minus sign where negative.
func (a Amount) String() string { return a.Big().String() }

// ParseAmount reads decimal digits with an optional minus sign.
func ParseAmount(s string) (Amount, error) {
	v, ok := new(big.Int).SetString(s, 10)
	if !ok || s[0] == '+' {
		return Amount{}, errors.New("an amount is a decimal integer")
	}
	return BigAmount(v), nil
}

// AppendBinary appends the one binary form of a to dst: nothing for 0, else a byte 01 (positive) or 02
// (negative) and the magnitude in big-endian bytes without leading zeros. The error is always nil.
func (a Amount) AppendBinary(dst []byte) ([]byte, error) {
	if a.Sign() == 0 {
		return dst, nil
	}
	sign := byte(1)
	if a.neg {
		sign = 2
	}
	return append(append(dst, sign), a.magnitude().Bytes()...), nil
}

func (a Amount) magnitude() *big.Int {
	if a.big != nil {
		return a.big
	}
	return new(big.Int).SetUint64(a.lo)
}

// AmountFrom reads the binary form, all of b.
func AmountFrom(b []byte) (Amount, error) {
	if len(b) == 0 {
		return Amount{}, nil
	}
	if len(b) < 2 || b[0] != 1 && b[0] != 2 || b[1] == 0 {
		return Amount{}, errors.New("malformed amount")
	}
	var a Amount
	if len(b) <= 1+8 { // most are, and are read by the million
		for _, c := range b[1:] {
			a.lo = a.lo<<8 | uint64(c)
		}
	} else {
		a = BigAmount(new(big.Int).SetBytes(b[1:]))
	}
	if b[0] == 2 {
		a = a.Neg()
	}
	return a, nil
}
