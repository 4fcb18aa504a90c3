// Package archive reads files as sources: recording folders and cone files. Nothing in them is
// believed: what they hold is proven like the word of any node.
//
// A recording folder ([Folder]) holds what one node answered; asked through [Folder.Transport] it is
// that node, so the package of the node's software reads it. A cone file ([Cones]) holds whole cones in
// the format of storage.ConeWriter.
package archive
