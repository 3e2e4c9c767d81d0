"""The report: one HTML file that answers the question and shows what the answer rests on."""
