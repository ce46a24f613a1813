"""What goes into a model: tables and series that are read, and what is not known about them."""
