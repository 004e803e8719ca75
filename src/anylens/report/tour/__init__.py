"""The tour behind `anylens demo`: a small vision model opened, measured, drawn, and written up as one page."""
