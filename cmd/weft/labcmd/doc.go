// Package labcmd is the command group `weft lab`; package lab does the work.
package labcmd
