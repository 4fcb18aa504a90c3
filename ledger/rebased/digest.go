package rebased

import (
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sync"

	"golang.org/x/crypto/blake2b"
)

// The salts: what is hashed before a value's bytes, by type.
const (
	saltTransaction = "TransactionData::"
	saltEffects     = "TransactionEffects::"
	saltEvents      = "TransactionEvents::"
	saltContents    = "CheckpointContents::"
	saltSummary     = "CheckpointSummary::"
	saltObject      = "Object::"
)

// TransactionDigest returns the digest of the BCS of a TransactionData: signatures and intent are no part of it.
func TransactionDigest(data []byte) Digest { return salted(saltTransaction, data) }

// EffectsDigest returns the digest of the BCS of a TransactionEffects.
func EffectsDigest(effects []byte) Digest { return salted(saltEffects, effects) }

// EventsDigest returns the digest of the BCS of a TransactionEvents.
func EventsDigest(events []byte) Digest { return salted(saltEvents, events) }

// ContentsDigest returns the digest of the BCS of a CheckpointContents.
func ContentsDigest(contents []byte) Digest { return salted(saltContents, contents) }

// CheckpointDigest returns the digest of the BCS of a CheckpointSummary: the certificate is no part of it.
func CheckpointDigest(summary []byte) Digest { return salted(saltSummary, summary) }

// ObjectDigest returns the digest of the BCS of an Object.
func ObjectDigest(object []byte) Digest { return salted(saltObject, object) }

// SigningDigest returns what user signatures of a transaction sign: BLAKE2b-256 of the intent and the BCS of the
// TransactionData, without salt.
func SigningDigest(data []byte) [32]byte { return sum([]byte{0, 0, 0}, data) }

// CreatedID returns the id of the object that a transaction creates as its index-th, counted from 0.
func CreatedID(transaction Digest, index uint64) ObjectID {
	return sum([]byte{0xf1}, transaction[:], binary.LittleEndian.AppendUint64(nil, index))
}

// DynamicFieldID returns the id of the dynamic field object of parent under the key: BCS of the key and its type.
func DynamicFieldID(parent ObjectID, key []byte, keyType TypeTag) ObjectID {
	n := binary.LittleEndian.AppendUint64(nil, uint64(len(key)))
	return sum([]byte{0xf0}, parent[:], n, key, AppendTypeTag(nil, keyType))
}

// DerivedObjectID returns the id of the object derived from parent under the key: a dynamic field with the key type
// 0x2::derived_object::DerivedObjectKey<K>.
func DerivedObjectID(parent ObjectID, key []byte, keyType TypeTag) ObjectID {
	wrapper := StructTag{Address: Address{31: 2}, Module: "derived_object", Name: "DerivedObjectKey", Args: []TypeTag{keyType}}
	return DynamicFieldID(parent, key, TypeTag{Type: TypeStruct, Struct: &wrapper})
}

// MigratedID returns the id of the object that a Stardust output became: BLAKE2b-256 of its output id.
func MigratedID(output [34]byte) ObjectID { return blake2b.Sum256(output[:]) }

// ChainID returns the short name of a network, given the digest of its checkpoint 0.
func ChainID(genesis Digest) string { return hex.EncodeToString(genesis[:4]) }

// salted hashes a salt and b without joining them.
func salted(salt string, b []byte) Digest {
	h := newHash()
	h.Write([]byte(salt))
	h.Write(b)
	return Digest(finish(h))
}

func sum(pieces ...[]byte) [32]byte {
	h := newHash()
	for _, p := range pieces {
		h.Write(p)
	}
	return finish(h)
}

// hashes holds idle hash states: a hash over pieces needs one, and each is large.
var hashes = sync.Pool{New: func() any {
	h, err := blake2b.New256(nil)
	if err != nil {
		panic(err) // a key that is too long; there is none
	}
	return h
}}

func newHash() hash.Hash { return hashes.Get().(hash.Hash) }

// finish returns the digest and gives h back.
func finish(h hash.Hash) (d [32]byte) {
	h.Sum(d[:0])
	h.Reset()
	hashes.Put(h)
	return d
}
