package api

// The formats of a statement.
const (
	formatJSON = "json"
	formatCSV  = "csv"
	formatHTML = "html"

	mediaJSON = "application/json"
	mediaHTML = "text/html"
)

const statementPattern = "/v1/addresses/{addr}/statement"

// classify is the one place that judges the class of a request: that of its route, but a statement that is sent whole is an
// export, as long as it may be.
func (q *request) classify() class {
	if q.route.pattern == statementPattern {
		switch statementFormat(q) {
		case formatCSV, formatHTML:
			return classExport
		}
	}
	return q.route.class
}

// statementFormat is what the parameter says, else what the Accept header likes most.
func statementFormat(q *request) string {
	if f := q.params["format"]; f != "" {
		return f
	}
	switch preferred(q.header, mediaJSON, mediaCSV, mediaHTML) {
	case mediaCSV:
		return formatCSV
	case mediaHTML:
		return formatHTML
	}
	return formatJSON
}
