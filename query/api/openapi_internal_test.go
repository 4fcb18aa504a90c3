package api

// RouteLine is one line of the route table, for tests.
type RouteLine struct {
	Method, Pattern, Role, Class string
	Params                       []string
}

// RouteLines returns the route table.
func RouteLines() (all []RouteLine) {
	classes := map[class]string{classPlain: "plain", classSearch: "search", classExport: "export", classStream: "stream", classProbe: "probe"}
	for _, r := range (&service{}).table() {
		all = append(all, RouteLine{r.method, r.pattern, r.role.String(), classes[r.class], r.params})
	}
	return all
}

// ProblemStatuses returns the HTTP status of each problem type.
func ProblemStatuses() map[string]int {
	all := map[string]int{}
	for word, t := range problemTypes {
		all[word] = t.status
	}
	return all
}
