package stardust

import (
	"fmt"
	"strings"
)

// misread says why text, which names nothing, resembles an address of the network with the prefix hrp.
func misread(text, hrp string) error {
	lower := strings.ToLower(text)
	if !strings.HasPrefix(lower, hrp+"1") {
		return nil
	}
	_, _, err := ParseBech32(text)
	return fmt.Errorf("%.100q is no address: %w", text, err)
}
