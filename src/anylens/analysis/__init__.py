"""Functions over a lens that answer a question: where something sits, what moves it, which way it points."""
