// Package judge holds no code of the program: its tests judge searches by brute force. A matcher that shares neither
// the parser of queries, nor the splitting of words, nor what an era draws from a record with the program reads
// records as get --raw gives them, by decoders of its own, and says which of them a query selects; thousands of random
// queries must give the same ids, order and totals.
//
// PERMANODE_TORTURE=1 asks 10,000 queries in each state of the archive; PERMANODE_SEED repeats a printed seed.
package judge
