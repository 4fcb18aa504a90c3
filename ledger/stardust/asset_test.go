package stardust

import (
	"strings"
	"testing"
)

// A token's id is read in any dress; the base coin has none here.
func TestParseAsset(t *testing.T) {
	id := "08" + strings.Repeat("ab", 37)
	for text, ok := range map[string]bool{
		id: true, "0x" + id: true, "0X" + strings.ToUpper(id): true, id[:74]: false, id + "00": false, "": false, "0x": false, "g" + id[1:]: false, "coins": false,
	} {
		asset, read := Codec{}.ParseAsset(text)
		if read != ok || ok && (Codec{}).FormatAsset(asset) != "0x"+id {
			t.Errorf("%s is %x, %v", text, asset, read)
		}
	}
}
