// Package evidence seals what an audit found, so that others can check later that nothing was changed, and ask again.
//
// A bundle is an uncompressed tar archive (POSIX ustar) of plain files with fixed owners, modes and times:
//
//	evidence.json       the manifest: what was asked of what, by which version, when, and the SHA-256 of each other file
//	inputs/001 ...      what was audited, unless it was left out
//	report.json         the answers
//	report.html         the same for people
//	verification.json   what "weft audit verify" says of the nodes, when that was asked
//	signature           Ed25519 (RFC 8032) of the manifest, 64 bytes
//
// The manifest holds for all else, and the archive has one form alone: a bundle of which any byte was changed is refused.
// The package is pure: bytes in, bytes out.
package evidence
