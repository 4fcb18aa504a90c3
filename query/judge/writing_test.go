package judge_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// What people write: words of many scripts, in forms that folding must make equal and in forms that it must not.
var vocabulary = []string{
	"invoice", "Invoice", "INVOICE", "net", "30", "sensor", "Sensor", "node", "ALPHA", "alpha", "sens", "sensors", "x", "a", "AND", "or",
	"für", "FÜR", "fu\u0308r", "straße", "STRASSE", "ﬁnance", "finance", "ＦＵＬＬ", "full", "①", "1", "½", "naïve", "nai\u0308ve",
	"Ελλάδα", "ΟΔΟΣ", "οδός", "İstanbul", "istanbul", "Straẞe", "ǅ", "привет", "Привет", "ЁЖ",
	"機器推論洗成權威事實", "權利的事情很有威力", "權威", "事實", "こんにちは", "世界", "カタカナ", "ｶﾞ", "ガ", "ラーメン", "ー", "〇", "々", "한국어", "ᄒ\u1161\u11ab", "韓國", "ㄅㄆ",
	"สวัสดี", "ประเทศไทย", "ລາວ", "ភាសា", "မြန်မာ", "བོད", "ꀀꀁ", "๑๒", "か\u3099", "は\u3099\u3099",
	"שלום", "مرحبا", "٣٤", "हिन्दी", "தமிழ்", "a\u0301\u0302b", "\u0301", "e\u200db", "co\u00adop", "🙂", "don't", "O'Neil", "x²", "ª", "Ⅷ", "ß",
	"dev-00017", "kWh", "12345678901234567890", "1e400", "21.5", "3.14", "ACME", "acme", "foo_bar", "foo_", "_", "end", "A1b2", "ΐ", "ŉ", "ﷺ",
	strings.Repeat("lang", 16), strings.Repeat("lang", 16) + "er", strings.Repeat("ж", 40), strings.Repeat("ж", 40) + "a",
	strings.Repeat("z", 64), strings.Repeat("z", 65), "0x41434d45", strings.Repeat("w", 300),
}

var between = []string{" ", " ", " ", ", ", ". ", "-", "", "、", "\n", "\t", "\x00", " — ", "/", ":", "=", "\"", "\\", "(", ")", "*", "\u00a0", "\u3000", "'", "_", "🙂", "+", "·"}

// words returns a few words and what stands between them.
func someWords(r *rand.Rand, most int) string {
	var b strings.Builder
	for i := range 1 + r.IntN(most) {
		if i > 0 {
			b.WriteString(pick(r, between))
		}
		b.WriteString(pick(r, vocabulary))
	}
	return b.String()
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

var jsonKeys = []string{"device", "t", "n", "id", "amount", "data", "a", "", "ключ", "a.b", "k k", "Amount", "世界", "q\"q", "back\\slash", "eq=eq"}

var jsonScalars = []string{
	"1", "2", "21.5", "1322146843034914816", "1322146843034914817", "1e400", "1E400", "-0", "0.10", "true", "false", "null", `""`, `"true"`, `"1"`,
	`"dev-00017"`, `"dev-00018"`, `"dev-"`, `"für"`, `"f\u00fcr"`, `"\ud83d\ude42"`, `"\ud83d"`, `"a\nb"`, `"\u0000"`, `"sla\/sh"`, `"權威事實"`, `"*"`, `"x=y"`, `"two words"`, `"\"quoted\""`, `"(p)"`, `"back\\slash"`,
}

// someJSON returns a JSON value, now and then cut or followed by something.
func someJSON(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(3) == 0 && depth < 3 {
		if r.IntN(12) == 0 {
			return `"` + strings.Repeat(pick(r, []string{"long", "lang", "權"}), 20+r.IntN(40)) + `"`
		}
		return pick(r, jsonScalars)
	}
	var parts []string
	for range r.IntN(5) {
		parts = append(parts, someJSON(r, depth-1))
	}
	if r.IntN(4) == 0 {
		return "[" + strings.Join(parts, ",") + "]"
	}
	for i := range parts {
		parts[i] = fmt.Sprintf("%s%s:%s%s", space(r), quoteJSON(pick(r, jsonKeys)), space(r), parts[i])
	}
	return "{" + strings.Join(parts, ",") + space(r) + "}"
}

func space(r *rand.Rand) string { return pick(r, []string{"", "", "", " ", "\n", "\t"}) }

func quoteJSON(s string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
}

// someText is what somebody writes into a payload: valid UTF-8.
func someText(r *rand.Rand) string {
	switch p := r.IntN(20); {
	case p < 7:
		text := someJSON(r, 3)
		switch r.IntN(8) {
		case 0:
			return text[:len(text)*3/4] // may cut a character: then it is no text at all, for the matcher too
		case 1:
			return text + " " + text
		case 2:
			return " " + text + "\n"
		}
		return text
	case p == 7:
		return strings.Repeat("[", 20+r.IntN(60)) + "1" + strings.Repeat("]", 20+r.IntN(60))
	case p == 8:
		n := 1 + r.IntN(80)
		return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)
	case p == 9:
		return ""
	}
	return someWords(r, 8)
}

// somePayload is someText in the dresses that payloads come in, or no text.
func somePayload(r *rand.Rand) []byte {
	text := []byte(someText(r))
	switch r.IntN(24) {
	case 0:
		return append([]byte("\xff\xfe"), text...)
	case 1:
		return append([]byte("\xef\xbb\xbf"), text...)
	case 2:
		return packed(text)
	case 3:
		return packed(text)[:12]
	case 4:
		return append(binary.LittleEndian.AppendUint16([]byte("DID\x01\x00"), uint16(len(text))), text...)
	case 5:
		return append(binary.LittleEndian.AppendUint16([]byte("DID\x01\x00"), uint16(len(text)+1)), text...)
	case 6:
		return []byte("a\x00b end")
	case 7:
		return bytes.Repeat([]byte{0}, 1+r.IntN(4))
	}
	return text
}

func packed(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b) // a buffer takes all
	_ = z.Close()
	return out.Bytes()
}

var tagPool = []string{
	"", "INVOICE", "invoice", "INVOICES", "INV", "ACME", "ACM", "Sensor-Node", "HORNET Spammer", "\x00", "\x00\x00", "a\x00b", "a", "\xff", "\xff\xff", "\x00\x01\x02\xff", "0x41", "A",
	"süß", "權威", "*", "a*", "two words", `quo"te`, `back\`, "(", "tag:x", strings.Repeat("t", 64), strings.Repeat("\xff", 64), strings.Repeat("t", 63), "AND", "state=1",
}

func someTag(r *rand.Rand) []byte { return []byte(pick(r, tagPool)) }
