package query

import (
	"regexp"
	"strings"
	"testing"
)

// TestStatementPageParts holds what a reader of the page, on paper or by ear, relies on: numbers that are not broken, a
// word for each balance, heads that belong to columns and rows.
func TestStatementPageParts(t *testing.T) {
	part := func(name string, data any) string {
		var b strings.Builder
		if err := statementForm.ExecuteTemplate(&b, name, data); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	huge := strings.Repeat("9", 78)
	held := &StatementBalance{Assets: []StatementAsset{{Asset: "coins", Amount: "12"}, {Asset: "0x08", Amount: huge}}}
	account := printAccount{StatementAccount: StatementAccount{Address: "a<b", Network: "net", Opening: held, Closing: &StatementBalance{}}}
	page := part("account", account) +
		part("line", printLine{StatementLine: StatementLine{Amount: "-18446744073709551615", Balance: huge}}) + part("end", account)
	for _, want := range []string{
		`<td class="n">12</td>`, `<td class="n">-18446744073709551615</td>`, `<td class="n long">` + huge + `</td>`,
		`>opening balance</th>`, `The closing balance is nothing.`, `aria-label="Lines of a&lt;b in net"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s:\n%s", want, page)
		}
	}
	if unknown := part("account", printAccount{}) + part("end", printAccount{}); !strings.Contains(unknown, "The opening balance is not known.") || !strings.Contains(unknown, "The closing balance is not known.") {
		t.Errorf("balances that are not known: %s", unknown)
	}
	if bare := regexp.MustCompile(`<th( class="[^"]*")?>`).FindString(page); bare != "" {
		t.Errorf("%s heads nothing", bare)
	}
	for _, tag := range []string{"table", "tbody", "thead", "tr", "th", "td", "div"} {
		opened := len(regexp.MustCompile("<"+tag+"[ >]").FindAllString(page, -1))
		if closed := strings.Count(page, "</"+tag+">"); opened != closed {
			t.Errorf("%s is opened %d times and closed %d times", tag, opened, closed)
		}
	}
	if !regexp.MustCompile(`(?m)^\.t, \.n \{ white-space: nowrap`).MatchString(statementStyle) {
		t.Error("numbers may be broken")
	}
}
