package topology

// Load decodes sources and validates what they declare. The intent is usable when the problems hold no
// errors; foreign holds the documents of other APIs, in order.
func Load(sources []Source) (intent *Intent, foreign []Document, problems Problems) {
	objects, foreign, problems := Decode(sources)
	intent = NewIntent(objects...)
	return intent, foreign, append(problems, Validate(intent)...).sorted()
}
