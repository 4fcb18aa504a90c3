package stardust

import "testing"

// TestRecordedAnswers holds the parsers and the JSON form against what real nodes answered.
func TestRecordedAnswers(t *testing.T) {
	for _, name := range []string{"stardust", "stardust-migration"} {
		blocks, milestones, outputs, receipts := checkExchanges(t, recorded(t, name))
		t.Logf("%s: %d blocks, %d milestones, %d outputs, %d receipts", name, blocks, milestones, outputs, receipts)
		if blocks == 0 || milestones == 0 || outputs == 0 || receipts == 0 && name == "stardust-migration" {
			t.Errorf("%s: a kind of answer is missing", name)
		}
	}
}
