"""What people see while a run goes on: lines anywhere, a live picture on a terminal."""
