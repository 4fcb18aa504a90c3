package rebased

import "permanode/ledger/rebased/bcs"

// AppendTypeTag appends the BCS of t.
func AppendTypeTag(dst []byte, t TypeTag) []byte {
	dst = append(dst, t.Type)
	switch t.Type {
	case TypeVector:
		dst = AppendTypeTag(dst, *t.Elem)
	case TypeStruct:
		dst = AppendStructTag(dst, *t.Struct)
	}
	return dst
}

// AppendStructTag appends the BCS of t.
func AppendStructTag(dst []byte, t StructTag) []byte {
	dst = append(dst, t.Address[:]...)
	dst = bcs.AppendString(dst, t.Module)
	dst = bcs.AppendString(dst, t.Name)
	return bcs.AppendList(dst, t.Args, AppendTypeTag)
}
