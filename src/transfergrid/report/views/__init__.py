"""Verdicts, gains and curves as tables: the table of verdicts, the leaderboard, the side views."""
