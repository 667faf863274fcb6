/** The head of a panel beside the videos: what it is, and a button that closes it. */
import { Icon } from './Icon';

export function PanelHeader({ title, closeLabel, onClose }: { title: string; closeLabel: string; onClose: () => void }) {
  return (
    <header>
      <h2>{title}</h2>
      <button type="button" class="icon-button" aria-label={closeLabel} title={closeLabel} onClick={onClose}>
        <Icon name="close" />
      </button>
    </header>
  );
}
