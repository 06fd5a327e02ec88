"""Sample values and dense ADC codes: which values a channel can take, and the map both ways."""
