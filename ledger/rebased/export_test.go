package rebased

// The JSON forms of single values, as the vectors have them: the program writes them as parts of a record or unit.

func formOf(write func(j *jsonText)) []byte {
	var j jsonText
	write(&j)
	return j.b
}

func SummaryJSON(s *Summary) []byte { return formOf(func(j *jsonText) { j.summary(s) }) }

func ContentsJSON(c *Contents) []byte { return formOf(func(j *jsonText) { j.contents(c) }) }

func TransactionJSON(d *TransactionData) []byte {
	return formOf(func(j *jsonText) { j.transactionData(d) })
}

func EffectsJSON(e *Effects) []byte { return formOf(func(j *jsonText) { j.effects(e) }) }

func EventsJSON(events []Event) []byte { return formOf(func(j *jsonText) { j.events(events) }) }

func ObjectJSON(o *Object) []byte { return formOf(func(j *jsonText) { j.object(o) }) }
