package logs

// ParsePattern is parsePattern, for the fuzz target.
var ParsePattern = parsePattern
