package openflow

import (
	"errors"
	"fmt"
)

// Error is an error message of the switch (OpenFlow 1.5.1, section 7.5.4).
type Error struct {
	Type, Code uint16
	// Vendor is the experimenter of an extension's error, whose Code is then its number; else 0.
	Vendor uint32
}

// Error returns the name of the error as Open vSwitch writes it, with the numbers.
func (e *Error) Error() string {
	switch names := errorNames[e.Type]; {
	case e.Vendor == nicira:
		if name, ok := niciraErrorNames[e.Code]; ok {
			return fmt.Sprintf("%s (Nicira error %d)", name, e.Code)
		}
		return fmt.Sprintf("Nicira error %d", e.Code)
	case e.Vendor != 0:
		return fmt.Sprintf("error %d of experimenter %#x", e.Code, e.Vendor)
	case int(e.Code) < len(names):
		return fmt.Sprintf("%s (OpenFlow error %d, %d)", names[e.Code], e.Type, e.Code)
	}
	return fmt.Sprintf("OpenFlow error %d, %d", e.Type, e.Code)
}

// errorExperimenter is the type of an extension's error: exp_code(2) experimenter(4).
const errorExperimenter = 0xffff

// decodeError reads the body of an error message: type(2) code(2) the beginning of the refused message.
func decodeError(body []byte) *Error {
	c := cursor{b: body}
	e := &Error{Type: c.u16(), Code: c.u16()}
	if e.Type == errorExperimenter {
		e.Vendor = c.u32()
	}
	return e
}

// BundleError says which mod kept a bundle from being made. Nothing of the bundle took effect.
type BundleError struct {
	Index int // of the mod in the call's list
	Mod   Mod
	Err   error // an *Error when the switch refused the mod; else the mod can't be expressed
}

// Error names the mod and the reason.
func (e *BundleError) Error() string {
	if refused := (*Error)(nil); errors.As(e.Err, &refused) {
		return fmt.Sprintf("the switch refused change %d, %s: %v", e.Index, e.Mod, e.Err)
	}
	return fmt.Sprintf("change %d, %s, can't be expressed: %v", e.Index, e.Mod, e.Err)
}

// Unwrap returns the reason.
func (e *BundleError) Unwrap() error { return e.Err }

// errorNames are the codes of OpenFlow 1.5 by type, as in OVS include/openvswitch/ofp-errors.h.
var errorNames = map[uint16][]string{
	0:  {"OFPHFC_INCOMPATIBLE", "OFPHFC_EPERM"},
	1:  {"OFPBRC_BAD_VERSION", "OFPBRC_BAD_TYPE", "OFPBRC_BAD_STAT", "OFPBRC_BAD_VENDOR", "OFPBRC_BAD_SUBTYPE", "OFPBRC_EPERM", "OFPBRC_BAD_LEN", "OFPBRC_BUFFER_EMPTY", "OFPBRC_BUFFER_UNKNOWN", "OFPBRC_BAD_TABLE_ID", "OFPBRC_IS_SECONDARY", "OFPBRC_BAD_PORT", "OFPBRC_BAD_PACKET", "OFPBRC_MULTIPART_BUFFER_OVERFLOW", "OFPBRC_MULTIPART_REQUEST_TIMEOUT", "OFPBRC_MULTIPART_REPLY_TIMEOUT", "OFPBRC_MULTIPART_BAD_SCHED", "OFPBRC_PIPELINE_FIELDS_ONLY", "OFPBRC_UNKNOWN"},
	2:  {"OFPBAC_BAD_TYPE", "OFPBAC_BAD_LEN", "OFPBAC_BAD_VENDOR", "OFPBAC_BAD_VENDOR_TYPE", "OFPBAC_BAD_OUT_PORT", "OFPBAC_BAD_ARGUMENT", "OFPBAC_EPERM", "OFPBAC_TOO_MANY", "OFPBAC_BAD_QUEUE", "OFPBAC_BAD_OUT_GROUP", "OFPBAC_MATCH_INCONSISTENT", "OFPBAC_UNSUPPORTED_ORDER", "OFPBAC_BAD_TAG", "OFPBAC_BAD_SET_TYPE", "OFPBAC_BAD_SET_LEN", "OFPBAC_BAD_SET_ARGUMENT", "OFPBAC_BAD_SET_MASK", "OFPBAC_BAD_METER"},
	3:  {"OFPBIC_UNKNOWN_INST", "OFPBIC_UNSUP_INST", "OFPBIC_BAD_TABLE_ID", "OFPBIC_UNSUP_METADATA", "OFPBIC_UNSUP_METADATA_MASK", "OFPBIC_BAD_EXPERIMENTER", "OFPBIC_BAD_EXP_TYPE", "OFPBIC_BAD_LEN", "OFPBIC_EPERM", "OFPBIC_DUP_INST"},
	4:  {"OFPBMC_BAD_TYPE", "OFPBMC_BAD_LEN", "OFPBMC_BAD_TAG", "OFPBMC_BAD_DL_ADDR_MASK", "OFPBMC_BAD_NW_ADDR_MASK", "OFPBMC_BAD_WILDCARDS", "OFPBMC_BAD_FIELD", "OFPBMC_BAD_VALUE", "OFPBMC_BAD_MASK", "OFPBMC_BAD_PREREQ", "OFPBMC_DUP_FIELD", "OFPBMC_EPERM"},
	5:  {"OFPFMFC_UNKNOWN", "OFPFMFC_TABLE_FULL", "OFPFMFC_BAD_TABLE_ID", "OFPFMFC_OVERLAP", "OFPFMFC_EPERM", "OFPFMFC_BAD_TIMEOUT", "OFPFMFC_BAD_COMMAND", "OFPFMFC_BAD_FLAGS", "OFPFMFC_CANT_SYNC", "OFPFMFC_BAD_PRIORITY", "OFPFMFC_IS_SYNC"},
	6:  {"OFPGMFC_GROUP_EXISTS", "OFPGMFC_INVALID_GROUP", "OFPGMFC_WEIGHT_UNSUPPORTED", "OFPGMFC_OUT_OF_GROUPS", "OFPGMFC_OUT_OF_BUCKETS", "OFPGMFC_CHAINING_UNSUPPORTED", "OFPGMFC_WATCH_UNSUPPORTED", "OFPGMFC_LOOP", "OFPGMFC_UNKNOWN_GROUP", "OFPGMFC_CHAINED_GROUP", "OFPGMFC_BAD_TYPE", "OFPGMFC_BAD_COMMAND", "OFPGMFC_BAD_BUCKET", "OFPGMFC_BAD_WATCH", "OFPGMFC_EPERM", "OFPGMFC_UNKNOWN_BUCKET", "OFPGMFC_BUCKET_EXISTS"},
	7:  {"OFPPMFC_BAD_PORT", "OFPPMFC_BAD_HW_ADDR", "OFPPMFC_BAD_CONFIG", "OFPPMFC_BAD_ADVERTISE", "OFPPMFC_EPERM"},
	10: {"OFPSCFC_BAD_FLAGS", "OFPSCFC_BAD_LEN", "OFPSCFC_EPERM"},
	12: {"OFPMMFC_UNKNOWN", "OFPMMFC_METER_EXISTS", "OFPMMFC_INVALID_METER", "OFPMMFC_UNKNOWN_METER", "OFPMMFC_BAD_COMMAND", "OFPMMFC_BAD_FLAGS", "OFPMMFC_BAD_RATE", "OFPMMFC_BAD_BURST", "OFPMMFC_BAD_BAND", "OFPMMFC_BAD_BAND_VALUE", "OFPMMFC_OUT_OF_METERS", "OFPMMFC_OUT_OF_BANDS"},
	14: {"OFPBPC_BAD_TYPE", "OFPBPC_BAD_LEN", "OFPBPC_BAD_VALUE", "OFPBPC_TOO_MANY", "OFPBPC_DUP_TYPE", "OFPBPC_BAD_EXPERIMENTER", "OFPBPC_BAD_EXP_TYPE", "OFPBPC_BAD_EXP_VALUE", "OFPBPC_EPERM"},
	17: {"OFPBFC_UNKNOWN", "OFPBFC_EPERM", "OFPBFC_BAD_ID", "OFPBFC_BUNDLE_EXIST", "OFPBFC_BUNDLE_CLOSED", "OFPBFC_OUT_OF_BUNDLES", "OFPBFC_BAD_TYPE", "OFPBFC_BAD_FLAGS", "OFPBFC_MSG_BAD_LEN", "OFPBFC_MSG_BAD_XID", "OFPBFC_MSG_UNSUP", "OFPBFC_MSG_CONFLICT", "OFPBFC_MSG_TOO_MANY", "OFPBFC_MSG_FAILED", "OFPBFC_TIMEOUT", "OFPBFC_BUNDLE_IN_PROGRESS"},
}

// niciraErrorNames are the codes of Nicira's errors that flows can cause.
var niciraErrorNames = map[uint16]string{
	2: "NXBRC_NXM_INVALID", 3: "NXBRC_NXM_BAD_TYPE", 4: "NXBRC_MUST_BE_ZERO", 11: "NXBAC_MUST_BE_ZERO", 15: "NXBAC_BAD_CONJUNCTION",
	12: "NXFMFC_HARDWARE", 42: "NXBAC_CT_DATAPATH_SUPPORT", 43: "NXBMC_CT_DATAPATH_SUPPORT",
}
