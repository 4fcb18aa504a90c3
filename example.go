package permanode

import _ "embed"

// ExampleConfig is config.example.yaml, which shows every key with its default: what `permanode config init` writes.
//
//go:embed config.example.yaml
var ExampleConfig []byte
