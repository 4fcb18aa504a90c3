package bcs

import "encoding/binary"

// AppendULEB appends a length or variant number.
func AppendULEB(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

// AppendBytes appends a length and the bytes. There must not be more than [MaxLen].
func AppendBytes(dst, b []byte) []byte { return append(AppendULEB(dst, uint32(len(b))), b...) }

// AppendString appends a length and the bytes of s.
func AppendString(dst []byte, s string) []byte { return append(AppendULEB(dst, uint32(len(s))), s...) }

// AppendBool appends 00 or 01.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendU16 appends two bytes.
func AppendU16(dst []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(dst, v) }

// AppendU32 appends four bytes.
func AppendU32(dst []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(dst, v) }

// AppendU64 appends eight bytes.
func AppendU64(dst []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(dst, v) }

// AppendList appends a length and the elements.
func AppendList[T any](dst []byte, list []T, appendTo func([]byte, T) []byte) []byte {
	dst = AppendULEB(dst, uint32(len(list)))
	for _, v := range list {
		dst = appendTo(dst, v)
	}
	return dst
}

// AppendOpt appends an option: v is nil, or points to the value.
func AppendOpt[T any](dst []byte, v *T, appendTo func([]byte, T) []byte) []byte {
	if v == nil {
		return append(dst, 0)
	}
	return appendTo(append(dst, 1), *v)
}
