// Package permanode holds nothing but the tests that keep the house in shape: who may import whom,
// where an era may be named, and that each package says what it is for. See docs/architecture.md.
package permanode
