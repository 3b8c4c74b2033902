"""One HTML file that holds a whole report: tables, charts, pictures, and what they need."""
