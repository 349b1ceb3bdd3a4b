package api

import (
	"bufio"
	"context"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/backup"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// backupPart is how many bytes of a backup are sent at once.
const backupPart = 256 << 10

// Backup sends a backup of the store.
func (s *intentService) Backup(ctx context.Context, _ *connect.Request[weftv1.BackupRequest], stream *connect.ServerStream[weftv1.BackupResponse]) error {
	b, err := s.Store.Backup(ctx, s.Now(), s.Version)
	if err != nil {
		return toConnect(err)
	}
	parts := bufio.NewWriterSize(sender{stream}, backupPart)
	if err := backup.Write(parts, b); err != nil {
		return err
	}
	if err := parts.Flush(); err != nil {
		return err
	}
	s.Log.Info("backup made", "revision", b.Revision, "keys", len(b.Entries), "by", callerFrom(ctx).name)
	return nil
}

// sender is a stream as a writer.
type sender struct {
	stream *connect.ServerStream[weftv1.BackupResponse]
}

// Write implements io.Writer.
func (s sender) Write(data []byte) (int, error) {
	if err := s.stream.Send(&weftv1.BackupResponse{Data: data}); err != nil {
		return 0, err
	}
	return len(data), nil
}
